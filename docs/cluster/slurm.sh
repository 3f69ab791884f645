#!/bin/bash
# One experiment on several nodes, a process for each GPU: processes share the points of the sweep.
#
#     sbatch docs/cluster/slurm.sh experiments/neuron_pursuit.py --preset full
#
# Submit it from a checkout whose .venv has nsjax, on a file system that all nodes see. A job that is
# preempted or fails is put back into the queue, and goes on where it stopped.
#SBATCH --job-name=nsjax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log

set -uo pipefail
# JAX reads addresses, number and index of the processes off SLURM's variables.
srun --kill-on-bad-exit=0 .venv/bin/python "$@" --distributed
code=$?
# 3: another process was lost, so that this one ended too; start all of them again.
if [ "$code" -eq 3 ] && [ "${SLURM_RESTART_COUNT:-0}" -lt 20 ]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
