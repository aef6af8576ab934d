"""On the path of an interpreter, this has ``COBO_ENV=dev`` lead to a simulator."""

import os

from httpx_cobo_auth import environment

environment._BY_NAME["dev"] = environment.Environment(
    "dev", os.environ["SIMULATOR_URL"], os.environ["SIMULATOR_KEY"]
)
