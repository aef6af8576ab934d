"""Real PostgreSQL and MariaDB, started by the tests, as unprivileged processes."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import OperationalError

if TYPE_CHECKING:
    from collections.abc import Generator

PASSWORD = "5ec2e7-password"
# Debian keeps PostgreSQL's programs, and those of daemons, off the usual path.
_PATH = ":".join(
    [os.environ.get("PATH", ""), "/usr/sbin", *sorted(glob.glob("/usr/lib/postgresql/*/bin"))]  # noqa: PTH207 - absolute
)


def program(name: str) -> str:
    """Find a program, or skip."""
    found = shutil.which(name, path=_PATH)
    if found is None:
        pytest.skip(f"missing service: {name}")
    # mariadb-install-db looks around where it is.
    return found


class DatabaseServer:
    """A server of its own folder and port, which loses nothing when it is stopped."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="database-"))
        self.who: dict[str, Any] = {}
        if os.geteuid() == 0:  # which PostgreSQL refuses to be
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self.who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self.prepare()
        self.start()

    @property
    def url(self) -> str:
        """For the driver of the tests."""
        raise NotImplementedError

    @property
    def command(self) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make its files."""
        raise NotImplementedError

    def run(self, *command: str) -> None:
        """Run a program, and wait for it."""
        run: Any = subprocess.run
        done = run(
            command,
            capture_output=True,
            check=False,
            cwd=self.folder,
            env={**os.environ, "PATH": _PATH, "LC_ALL": "C.UTF-8"},
            **self.who,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with (self.folder / "log").open("ab") as log:
            popen: Any = subprocess.Popen
            process = popen(
                self.command,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={**os.environ, "LC_ALL": "C.UTF-8"},
                **self.who,
            )
        self.process = process
        deadline = time.monotonic() + 60
        while not self.answers():
            gave_up = process.poll()
            if gave_up is not None or time.monotonic() > deadline:
                log_text = (self.folder / "log").read_text(errors="replace")
                pytest.fail(f"the server does not answer ({gave_up}):\n{log_text}")
            time.sleep(0.05)

    def answers(self) -> bool:
        """Whether one can connect."""
        try:
            self.engine().connect().close()
        except OperationalError:
            return False
        return True

    def engine(self) -> sa.Engine:
        """Make an engine of the test's own."""
        return sa.create_engine(self.url, poolclass=sa.NullPool)

    def execute(self, statement: str) -> Any:  # noqa: ANN401 - rows, or nothing
        """Do something behind the store's back."""
        with self.engine().begin() as connection:
            result = connection.execute(sa.text(statement))
            return result.all() if result.returns_rows else result.rowcount

    def empty(self) -> None:
        """Drop the table."""
        self.execute("DROP TABLE IF EXISTS cobo_tokens")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its children, each of which PostgreSQL gives its own group."""
        assert self.process
        os.kill(self.process.pid, number)
        for status in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                if int(status.read_text().rpartition(")")[2].split()[1]) == self.process.pid:
                    os.kill(int(status.parent.name), number)

    def stop(self) -> None:
        """End it as a crash would."""
        assert self.process
        self.signal(signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """End it in good order, and remove its files."""
        assert self.process
        self.process.send_signal(signal.SIGINT if "postgres" in self.url else signal.SIGTERM)
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.stop()
        shutil.rmtree(self.folder)

    @contextlib.contextmanager
    def paused(self) -> Generator[None]:
        """Let it hang: connections are accepted by the system, and nobody answers."""
        self.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.signal(signal.SIGCONT)


class PostgresServer(DatabaseServer):
    """PostgreSQL."""

    driver = "psycopg"

    @property
    def url(self) -> str:
        return f"postgresql+psycopg://app:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",  # the machine does not crash, only the server
            "max_connections": 200,
        }
        settings = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
        return [program("postgres"), "-D", str(self.folder / "data"), *settings]

    def prepare(self) -> None:
        password = self.folder / "password"
        password.write_text(PASSWORD)
        password.chmod(0o644)
        self.run(
            program("initdb"),
            *("-D", str(self.folder / "data"), "-U", "app", "--no-sync", "-E", "UTF8"),
            *("--auth=scram-sha-256", f"--pwfile={password}"),
        )


class MariaServer(DatabaseServer):
    """MariaDB."""

    driver = "pymysql"

    @property
    def url(self) -> str:
        return f"mysql+pymysql://app:{PASSWORD}@127.0.0.1:{self.port}/app"

    @property
    def command(self) -> list[str]:
        return [
            program("mariadbd"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            f"--socket={self.folder / 'socket'}",
            f"--pid-file={self.folder / 'pid'}",
            f"--port={self.port}",
            f"--init-file={self.folder / 'init.sql'}",
            "--bind-address=127.0.0.1",
            "--innodb-flush-log-at-trx-commit=0",
            "--innodb-buffer-pool-size=32M",
            "--skip-name-resolve",
        ]

    def prepare(self) -> None:
        (self.folder / "init.sql").write_text(
            "CREATE DATABASE IF NOT EXISTS app;\n"
            f"CREATE USER IF NOT EXISTS app@'%' IDENTIFIED BY '{PASSWORD}';\n"
            "GRANT ALL ON app.* TO app@'%';\n"
        )
        self.run(
            program("mariadb-install-db"),
            "--no-defaults",
            f"--datadir={self.folder / 'data'}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            "--innodb-flush-log-at-trx-commit=0",
        )
