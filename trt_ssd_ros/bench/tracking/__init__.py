"""Benchmark of the tracker against `trackers`' ByteTrack, on generated sequences with known identities."""
