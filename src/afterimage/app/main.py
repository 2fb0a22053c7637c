"""The script that Streamlit runs; `afterimage app` starts it."""

from afterimage.app import frame

frame.main()
