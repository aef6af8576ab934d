"""What to do about a request and its token: the decisions, without any I/O."""
