"""Chest X-rays whose truth somebody wrote down: as Kaggle distributes them, or in a plain folder.

`rsna`, `siim` and `annotated` each read a folder into `labelled.Images`; `kinds` knows which is which. What a row or a
file says that cannot be is left out by image, named by file and row, counted, and told in the record.
"""
