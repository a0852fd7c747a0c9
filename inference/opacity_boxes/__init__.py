"""The steps of `opacity-boxes` around its network: what it is shown, where its boxes lie, and what they say."""
