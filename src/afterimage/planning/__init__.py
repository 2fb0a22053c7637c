"""What a run takes before it is run: hours, disk and network of each stage, on a machine of stated rates.

`work` counts what a row's own network does with an image, `stages` what each stage does with how many of them, and
`machines` how long a machine takes for that. Nothing of it is an input of a stage.
"""
