"""Helpers of the tests: generated clips and engines, fake devices, servers and displays."""
