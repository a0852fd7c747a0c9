"""The steps of `opacity-ensemble` around its networks: scores, crops, blends, floors; pure functions of arrays."""
