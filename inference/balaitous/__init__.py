"""The steps of Balaïtous, each a small pure function: what the package `balaitous` 1.2 does, in its order and axes.

`demographics` is step 1; steps 2 and 3, resampling and lung mask, are `inference.resampled_ct`; `scan`,
`lung_cleaning`, `framing`, `windowing`, `features` and `regressions` are 4 to 8, and `preparation` orders those on
the volume.

References
----------
Package `balaitous` 1.2 by Simon Jégou (MIT), https://github.com/SimJeg/balaitous.
"""
