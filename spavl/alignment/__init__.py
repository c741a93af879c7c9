"""Preference alignment: rows and batches, response log-probs, losses, PPO's arithmetic, the loop.

Comes in: preferences, pictures, models of `spavl.models`. Goes out: trained weights and curves.
Shared by the rooms `reward_modeling`, `dpo` and `ppo`; knows no pipeline.
"""
