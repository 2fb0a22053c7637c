"""The web page: what the trained rows make of a visitor's picture.

`main.py` is the script that Streamlit runs: the frame, and one module a page. A page imports what it computes with
when it is used, so that the page opens at once and works with whatever is trained.
"""
