"""The wire -> us. Handlers of DIMSE events; none of them knows a model or the database."""
