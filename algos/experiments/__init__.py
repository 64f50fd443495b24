"""Training and measuring on real models: `python -m algos.experiments NAME --seed 0` writes `results/NAME.csv`.

An experiment is one file with a `run` and one row in `EXPERIMENTS`. Tests never train; they score a
shipped checkpoint again and compare with its row.
"""
