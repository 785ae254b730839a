"""How fast a gate is: against a loop written by hand, as clips grow, and against the runtime's own clock.

python -m benchmarks.speed                    # some minutes on two quiet cores; writes docs/speed.md
python -m benchmarks.speed --compared 1000 10000 --clips 1000 10000 100000      # as docs/speed.md was written
"""
