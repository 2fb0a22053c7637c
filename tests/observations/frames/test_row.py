"""Rows of levels of damage."""

import pytest
from rows import LEVELS, observed


def test_a_level_needs_a_name_that_a_folder_can_have():
    with pytest.raises(ValueError, match="no name of a level"):
        observed("frames", levels={"../up": LEVELS["mild"]})


def test_a_row_needs_a_level_and_known_steps():
    with pytest.raises(ValueError, match="at least 1 item"):
        observed("frames", levels={})
    with pytest.raises(ValueError, match="fog"):
        observed("frames", levels={"bad": [{"step": "fog"}]})
    assert observed("frames", levels={"real": []}).levels == {"real": []}
