#!/bin/bash
# One run over the GPUs of several nodes.
#
#   sbatch --nodes=4 --job-name=large jobs/slurm_nodes.sh --experiment=classification --dataset=mnist
#
# --distributed finds the other processes by the variables that srun sets.
# Submit as slurm.sh, on a file system that all nodes share.
#SBATCH --job-name=triplet-nodes
#SBATCH --nodes=2
# A process for every GPU: in SLURM JAX gives each process one, by its number on
# the node.
#SBATCH --ntasks-per-node=4
#SBATCH --gpus-per-node=4
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
# TERM and not USR1: it is what JAX tells all processes of, so that all of them
# save after the same step.
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out

status=0
srun "--cpus-per-task=$SLURM_CPUS_PER_TASK" \
  python launch.py --distributed "--workdir=results/$SLURM_JOB_NAME" \
  "${@:---experiment=triplet}" || status=$?

if ((status == 143)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
