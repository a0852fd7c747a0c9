"""Findings -> DICOM -> the wire."""
