"""Opacity on X-ray, explained: the recipes of all networks of `opacity-explain`, after its authors' table.

`numbers` is the table, `recipe` the order of the parts, `tasks` what each of them learns, `views` what it is shown.
"""
