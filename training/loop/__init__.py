"""The loop that recipes share: a task is learnt on all folds but one, judged on that one, and ends in a slot's file.

``task.Task -> fitting.fit -> making.make -> SLOT.safetensors, SLOT.json, SLOT.csv, SLOT-report/``. A recipe subclasses
`Task`: which examples, which network, what is frozen, the losses, the optimiser, and how an example that was not seen
is judged. All else is here: the same seed gives the same network to the bit on a CPU, also when it was killed and
called again, whatever the number of processes that read images.

Needs pytorch-lightning, of the extra ``train``; `fitting` and `making` alone import it.
"""
