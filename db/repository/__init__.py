"""The only SQL: one module for each part of the way of the data. Every function works in the caller's transaction."""
