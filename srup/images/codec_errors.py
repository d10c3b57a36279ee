"""What decoders and encoders raise, turned into errors of srup.

A decoder meets files that nobody had in mind, and raises whatever comes of it: TypeError, KeyError,
AssertionError, or the panic of a library in Rust, which is no Exception at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from srup.errors import ImageError, OutOfMemory, SrupError, internal, is_internal, reason_of

# ends the process or a generator, whoever is at work
NO_ERRORS = (KeyboardInterrupt, SystemExit, GeneratorExit)


@contextmanager
def codec_errors(failure: type[ImageError], about: str, *hints: str) -> Iterator[None]:
    """Turns what a decoder or encoder raises in the block into `failure`.

    Its message is `about`, such as "cannot read a.png: damaged", with the reason. OSError passes,
    for whoever knows the file. Raises OutOfMemory in place of MemoryError, and InternalError if
    srup's own code raised, not a library.
    """
    try:
        yield
    except (SrupError, OSError, *NO_ERRORS):
        raise
    except MemoryError as error:
        raise OutOfMemory(f"{about} (it takes more memory than there is, or claims to)") from error
    except BaseException as error:
        if is_internal(error):
            raise internal(error, about) from error
        raise failure(f"{about} ({type(error).__name__}: {reason_of(error)})", *hints) from error
