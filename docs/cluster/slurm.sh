#!/bin/bash
# One experiment on several nodes, a process for each GPU: processes share the points of the sweep.
#
#     sbatch docs/cluster/slurm.sh experiments/neuron_pursuit.py --preset full
#
# Submit it from a checkout whose .venv has nsjax, on a file system that all nodes see. A job that is
# preempted, runs out of time or loses a process is put back into the queue, and goes on where it
# stopped; one that ends with an error is not.
#SBATCH --job-name=nsjax
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-task=1
#SBATCH --cpus-per-task=4
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=slurm-%j.log

again() {
    if [ "${SLURM_RESTART_COUNT:-0}" -lt 50 ]; then
        scontrol requeue "$SLURM_JOB_ID"
    fi
}
trap again USR1 # two minutes before the time is up

# JAX reads addresses, number and index of the processes off SLURM's variables.
srun --kill-on-bad-exit=0 .venv/bin/python "$@" --distributed &
wait $!
code=$?
# 75: another process was lost. 128 and more: killed, for want of memory for example. 76 is an error.
if [ "$code" -eq 75 ] || [ "$code" -ge 128 ]; then
    again
fi
exit "$code"
