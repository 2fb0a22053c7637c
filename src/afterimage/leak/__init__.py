"""What a feature store leaks: how much of somebody's photographs comes back from the features that are kept of them.

    photographs.py   the photographs, and who is on them
    attackers.py     the rows that rebuild images from the features of an encoder
    identity.py      whether a person can still be told from a stranger
    utility.py       what the same features are good for
    measuring.py     all of these joined: a result for each attacker
    page.py          the results as a page, as tables, and in words

docs/leaking.md says how the numbers are read.
"""
