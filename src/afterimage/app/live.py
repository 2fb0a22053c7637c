"""Live camera frames through a model, as fast as this machine can: the optional extra `live` (streamlit-webrtc)."""

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import streamlit as st
from PIL import Image

from afterimage.app import widgets

SIDES = (96, 128, 192, 256, 384)


def available() -> bool:
    return find_spec("streamlit_webrtc") is not None


def show(use: Callable[[Image.Image], Image.Image], key: str) -> None:
    """The camera's frames, and beside each what `use` makes of it; frames that come too fast are dropped.

    Args:
        use: runs in a thread of its own, so it must not call Streamlit.
    """
    import av
    from streamlit_webrtc import WebRtcMode, webrtc_streamer

    side = st.select_slider("Longest side in px", SIDES, value=128, key=f"{key}-side", help="Smaller is faster.")

    def through(frame: Any) -> Any:
        image = Image.fromarray(frame.to_ndarray(format="rgb24"))
        image.thumbnail((side, side))
        both = widgets.pair(image, use(image))
        # The codec takes even sides; enlarged, it does not blur what little there is
        both = both.resize((both.width * 2, both.height * 2), Image.Resampling.NEAREST)
        return av.VideoFrame.from_ndarray(np.asarray(both), format="rgb24")

    webrtc_streamer(
        key=f"{key}-{side}",
        mode=WebRtcMode.SENDRECV,
        rtc_configuration={"iceServers": []},  # nothing is asked of other hosts: for browsers that can reach this one
        media_stream_constraints={"video": {"width": {"ideal": 320}, "frameRate": {"ideal": 10}}, "audio": False},
        video_frame_callback=through,
    )
