"""How good a pipeline is on images whose truth is known: measures, their intervals, a report, and settings from them.

Stands below `node` and `training`, which use it, and above what it judges. `truth` reads what is known, `outputs`
takes from `Findings` what is to be compared with it, `judging` compares one image, `run` does so for all, `summary`
makes numbers of the rows, `report` and `record` show them. The measures themselves (`scores`, `overlap`, `maps`,
`boxes`, `levels`) work on plain arrays. Imports neither torch nor plotting until something runs.
"""
