"""Tests of the five patterns: their decisions in a simulated world, their activities as plain functions."""
