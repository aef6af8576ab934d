"""Nonces: each once for a key in a process, and true to the time, through suspends and steps."""

from __future__ import annotations

import gc
import itertools
import os
import subprocess
import sys
import time
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from httpx_cobo_auth import DEVELOPMENT, Ed25519Signer, Environment, Signer
from httpx_cobo_auth._protocol import nonces as nonces_module
from httpx_cobo_auth._protocol.nonces import NonceSource, nonces_of
from httpx_cobo_auth.clock import SystemClock
from tests.interrupts import ANY_OPCODE, Interrupt

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET = "06f78882576ec0e05b1e51a33548da7e8cf958c190ba96be77b1c671f98a2b5f"
START = 1_800_000_000.0


class SteppedClock:
    """A clock whose wall and monotonic readings are set apart."""

    def __init__(self) -> None:
        self.wall = START
        self.mono = 500.0

    def time(self) -> float:
        return self.wall

    def monotonic(self) -> float:
        return self.mono

    def advance(self, seconds: float) -> None:
        """Let time pass, while the machine is awake."""
        self.wall += seconds
        self.mono += seconds

    def suspend(self, seconds: float) -> None:
        """Let time pass, while the machine is suspended; or set the wall clock."""
        self.wall += seconds


@pytest.fixture
def clock() -> SteppedClock:
    """The machine's."""
    return SteppedClock()


@pytest.fixture
def source(clock: SteppedClock) -> NonceSource:
    """A source that has been used once."""
    source = NonceSource(clock)
    assert source.next() == START * 1000
    return source


class TestClocks:
    @pytest.mark.parametrize("step", [-7200.0, -11.0, -3.0, 3.0])
    def test_a_wall_clock_that_is_set_back_or_adjusted_changes_nothing(
        self, clock: SteppedClock, source: NonceSource, step: float
    ) -> None:
        """Hazard 31: nonces count on by the monotonic clock, also where the other comes back."""
        for second, move in enumerate((step, -step, step, 0.0), start=1):
            clock.suspend(move)
            clock.advance(1)
            assert source.next() == (START + second) * 1000

    @pytest.mark.hazard(69)
    @pytest.mark.parametrize("seconds", [6.0, 180.0, 7200.0, 40 * 86400.0])
    def test_after_a_suspend_nonces_are_the_time_again(
        self, clock: SteppedClock, source: NonceSource, seconds: float
    ) -> None:
        """Hazard 69: the monotonic clock stood still meanwhile; again and again."""
        for _ in range(3):
            clock.suspend(seconds)
            assert source.next() == int(clock.wall * 1000)
            assert source.seconds_behind(clock.wall) == pytest.approx(0, abs=0.01)

    def test_a_step_forth_and_back_and_forth_is_followed_once(
        self, clock: SteppedClock, source: NonceSource
    ) -> None:
        """Hazard 31: what the server then corrected is right for the clock's coming back, too."""
        clock.suspend(3600)
        source.next()
        source.correct_by(-3600)
        for _ in range(3):
            clock.suspend(-3600)
            assert source.seconds_behind(START) == pytest.approx(0)
            clock.suspend(3600)
            assert source.seconds_behind(START) == pytest.approx(0)

    @pytest.mark.hazard(69)
    def test_a_suspend_after_the_clock_was_set_back_counts_as_one(
        self, clock: SteppedClock, source: NonceSource
    ) -> None:
        """Hazard 69: it is told from the clock's coming back, whatever came before."""
        clock.suspend(-3600)
        assert source.next() == START * 1000 + 1
        clock.suspend(180)
        assert source.next() == (START + 180) * 1000

    @pytest.mark.hazard(31, 69)
    def test_what_the_server_corrected_stays_corrected_over_a_suspend(
        self, clock: SteppedClock, source: NonceSource
    ) -> None:
        """Hazards 31 and 69: the correction and the time slept are added up."""
        source.correct_by(-3600.0)
        clock.suspend(180)
        assert source.next() == (clock.wall - 3600) * 1000
        assert source.seconds_behind(clock.wall) == pytest.approx(3600)

    @pytest.mark.parametrize("drift", [-1e-4, 1e-4])
    def test_clocks_that_drift_apart_are_followed(
        self, clock: SteppedClock, source: NonceSource, drift: float
    ) -> None:
        """A month of 100 ppm, on systems that correct the wall clock alone: never 10 s off."""
        nonces = [source.next()]
        for _ in range(30 * 24):
            clock.advance(3600)
            clock.wall += 3600 * drift
            nonces.append(source.next())
            assert abs(nonces[-1] / 1000 - clock.wall) < 10
        assert nonces == sorted(set(nonces))

    def test_a_thread_held_up_between_two_readings_follows_nothing(self) -> None:
        """The wall clock then only seems to have gone ahead."""

        class Stalling(SteppedClock):
            """Ten seconds pass between any two readings, for a while."""

            stalls = False

            def time(self) -> float:
                if self.stalls:
                    self.advance(10)
                return super().time()

        clock = Stalling()
        source = NonceSource(clock)
        clock.stalls = True
        source.next()
        clock.stalls = False
        assert source.next() == clock.wall * 1000


class TestCorrections:
    @pytest.mark.hazard(66)
    @pytest.mark.parametrize("took", [0.0, 1.0, 61.0, 300.0])
    def test_an_answer_that_took_long_is_no_clock_that_is_off(
        self, clock: SteppedClock, source: NonceSource, took: float
    ) -> None:
        """Hazard 66: the server's time lies between sending and receiving."""
        base, sent_at, sent = source.base, clock.mono, clock.wall
        clock.advance(took)
        for server_time in (sent, sent + took / 2, sent + took):
            assert source.seconds_behind(server_time, base, sent_at) == pytest.approx(0, abs=1e-6)
        for off in (-3600.0, 3600.0):
            edge = sent + off + (took if off > 0 else 0)
            assert source.seconds_behind(edge, base, sent_at) == pytest.approx(off)
            assert source.seconds_behind(sent + off, base) == pytest.approx(off - took)

    @pytest.mark.hazard(66, 69)
    def test_an_answer_that_was_slept_over_is_no_clock_that_is_off(
        self, clock: SteppedClock, source: NonceSource
    ) -> None:
        """Hazards 66 and 69: whether the server answered before the suspend or after it."""
        clock.advance(1)
        base, sent_at, sent = source.base, clock.mono, clock.wall
        clock.advance(0.001)
        clock.suspend(180)
        for _ in range(2):  # the second time another request has noticed
            for server_time in (sent, sent + 90, sent + 180):
                assert source.seconds_behind(server_time, base, sent_at) == pytest.approx(0)
            source.next()
        clock.advance(1)
        later = clock.mono
        assert source.seconds_behind(clock.wall - 100, base, later) == pytest.approx(-100)

    def test_what_others_corrected_meanwhile_is_told_from_the_time_slept(
        self, clock: SteppedClock, source: NonceSource
    ) -> None:
        """Hazard 31: a request that was refused for the old clock is so still."""
        base, sent_at = source.base, clock.mono
        source.correct_by(3600.0, base)
        assert source.seconds_behind(START + 3600, base, sent_at) == pytest.approx(3600)
        source.correct_by(3600.0, base)
        assert source.base == base + 3600

    def test_whoever_is_late_finishes_what_another_has_begun(self, source: NonceSource) -> None:
        """A correction that was interrupted half-way is not lost: no thread waits for another."""
        old, base = source._reckoning, source.base
        source.correct_by(3600.0, base)
        source._reckoning = old  # as one that was interrupted before the assignment left it
        source.correct_by(3600.0, base)
        assert source.base == base + 3600
        source._reckoning = old
        source.correct_by(1.0)
        assert source.base == base + 3601


class Shouting:
    """A key service that writes its keys in capitals."""

    public_key = Ed25519Signer(SECRET).public_key.upper()

    def sign(self, digest: bytes) -> bytes:
        return digest


class TestSources:
    @pytest.mark.hazard(67)
    def test_no_nonce_is_used_twice_with_a_key_whatever_else_differs(self) -> None:
        """Hazard 67: clocks, environments, spellings of the key, threads; corrected meanwhile."""
        signers: list[Signer] = [Ed25519Signer(SECRET), Shouting()]
        sources = [
            nonces_of(signer, Environment("x", f"https://{host}.example"), SteppedClock())
            for signer in signers
            for host in "ab"
        ]
        assert len({id(source) for source in sources}) == 4

        def draw(source: NonceSource) -> list[int]:
            drawn = [source.next() for _ in range(500)]
            source.correct_by(-0.1)
            return drawn + [source.next() for _ in range(500)]

        with ThreadPoolExecutor(8) as pool:
            drawn = [nonce for nonces in pool.map(draw, sources) for nonce in nonces]
        assert len(set(drawn)) == len(drawn) == 4000
        assert NonceSource(SteppedClock(), "another").next() == START * 1000

    @pytest.mark.hazard(67)
    def test_sources_go_with_their_last_user(self) -> None:
        """Hazard 67: nothing of a clock is kept, and of nonces a bounded number."""
        clock = SteppedClock()
        source = nonces_of(Ed25519Signer(SECRET), DEVELOPMENT, clock)
        for _ in range(20_000):
            source.next()
        assert len(nonces_module._order) <= 8192 + 100  # interrupts may leave one each
        assert len(nonces_module._used) <= 8192 + 100
        gone: list[Callable[[], object]] = [weakref.ref(clock), weakref.ref(source)]
        del clock, source
        gc.collect()
        assert [one() for one in gone] == [None, None]

    def test_what_was_learned_of_the_machines_clock_outlives_an_auth_object(self) -> None:
        """An auth object made anew for each call does not learn it by a refusal each time."""
        signer = Ed25519Signer("22" * 32)
        nonces_of(signer, DEVELOPMENT, SystemClock()).correct_by(3600.0)
        gc.collect()
        again = nonces_of(signer, DEVELOPMENT, SystemClock())
        assert again.seconds_behind(time.time() + 3600) == pytest.approx(0, abs=5)
        for number in range(20):
            nonces_of(Ed25519Signer(f"{number:064x}"), DEVELOPMENT, SystemClock())
        assert len(nonces_module._recent) == 8


def makes_nonces(file: str) -> bool:
    return file == nonces_module.__file__


class TestInterrupts:
    @pytest.mark.hazard(54)
    def test_an_interrupt_between_any_two_bytecodes_holds_nobody_up(self) -> None:
        """Hazard 54: afterwards nonces go on in every thread, and none comes twice."""
        drawn: list[int] = []
        moment = 0
        for moment in itertools.count():
            clock = SteppedClock()
            clock.wall += moment * 1000  # more than are remembered are drawn in all
            source = nonces_of(Ed25519Signer(SECRET), DEVELOPMENT, clock)

            def draw(clock: SteppedClock = clock, source: NonceSource = source) -> None:
                drawn.append(source.next())
                clock.suspend(60)
                drawn.append(source.next())
                source.correct_by(60.0, source.base)
                drawn.append(nonces_of(Ed25519Signer(SECRET), DEVELOPMENT, clock).next())

            interrupt = Interrupt(moment, makes_nonces, ANY_OPCODE)
            interrupt.strike(draw)
            with ThreadPoolExecutor(1) as pool:
                drawn.append(pool.submit(source.next).result(30))
            if not interrupt.struck:
                break
        assert moment > 200
        assert len(set(drawn)) == len(drawn)

    @pytest.mark.hazard(80)
    @pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
    def test_a_child_forked_without_pythons_hooks_draws_on(self) -> None:
        """Hazard 80: there is no lock of which it could have a copy that is held."""
        code = """if True:
            import ctypes, os, threading
            from httpx_cobo_auth._protocol.nonces import NonceSource
            from httpx_cobo_auth.clock import SystemClock
            source = NonceSource(SystemClock())
            drawing = threading.Thread(target=lambda: [source.next() for _ in range(100_000)])
            drawing.start()
            for _ in range(20):
                child = ctypes.PyDLL(None).fork()
                if child == 0:
                    os._exit(0 if source.next() else 1)
                assert os.waitpid(child, 0)[1] == 0
            drawing.join()
        """
        subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
