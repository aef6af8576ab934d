"""What users hold: the auth objects, and the clients that these make."""
