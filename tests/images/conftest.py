from __future__ import annotations

import pytest

from srup.errors import EngineUnavailable
from srup.images import FORMATS, Format
from srup.images.formats import plug_in


@pytest.fixture(params=FORMATS.values(), ids=FORMATS)
def row(request: pytest.FixtureRequest) -> Format:
    """Each format that is at hand."""
    format_: Format = request.param
    if format_.module:
        try:
            plug_in(format_.module, format_.extra)
        except EngineUnavailable as error:
            pytest.skip(str(error))
    return format_
