"""What runs on the board: sent over SSH at connect, nothing is installed there but numpy and a runtime.

Python 3.8 and newer. It imports the standard library, numpy, kaldi-native-fbank and the vendor's runtime, and nothing
of the rest of voxgate; the host imports its arithmetic, so that both compute the same.
"""
