"""Everything srup can say no with.

SrupError
├── UsageError            asked for what cannot be                        exit 2
│   ├── UnknownModel      no such name in the registry
│   ├── ScaleError        a scale no network, or this one, can do
│   └── EngineUnavailable an engine, extra or device that is not here
├── WeightsError          weights could not be had or do not fit          exit 3
│   ├── Offline           they would have to be downloaded, and may not be
│   ├── DownloadError     no source delivered them
│   ├── DigestMismatch    what was delivered is not what was published
│   └── WeightsMismatch   a checkpoint of another network
├── ImageError            this image failed, the next may not             exit 1
│   ├── ReadError         not an image, or a damaged one
│   ├── WriteError        the result could not be put where it should go
│   └── UnsoundResult     what was computed is no picture
├── OutOfMemory           too little memory or disk for this image        exit 1
└── TrainingError         training cannot begin or go on                  exit 1

A message is one line: what, where, and what to do next.
"""

from __future__ import annotations


class SrupError(Exception):
    """What srup raises for anything that can go wrong in the world; the message is for people."""

    exit_code = 1


class UsageError(SrupError):
    exit_code = 2


class UnknownModel(UsageError):
    pass


class ScaleError(UsageError):
    pass


class EngineUnavailable(UsageError):
    pass


class WeightsError(SrupError):
    exit_code = 3


class Offline(WeightsError):
    pass


class DownloadError(WeightsError):
    pass


class DigestMismatch(WeightsError):
    pass


class WeightsMismatch(WeightsError):
    pass


class ImageError(SrupError):
    pass


class ReadError(ImageError):
    pass


class WriteError(ImageError):
    pass


class UnsoundResult(ImageError):
    pass


class OutOfMemory(SrupError):
    pass


class TrainingError(SrupError):
    pass
