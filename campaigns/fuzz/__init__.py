"""Everything that comes from outside, damaged in seeded ways and given to the code that reads it: `docs/fuzz.md`.

targets.py    what is read, by what, and what sound inputs look like
samples.py    sound inputs of each format, and hostile ones
mutations.py  ways to damage an input that fit its format
guard.py      what a reader must not do, and what a fault must look like
workers.py    processes that read, with bounds on time and memory
"""
