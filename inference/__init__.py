"""What we think: a selection of instances in, findings out; knows neither network nor database."""
