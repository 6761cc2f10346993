#!/bin/bash
# One run on SLURM that goes on by itself when its time is up.
#
#   sbatch --job-name=mnist jobs/slurm.sh --experiment=classification --dataset=mnist
#
# Submit in the checkout, its virtual environment active (SLURM hands on both).
# The run's folder is results/<job name>: the same line again goes on with it.
#SBATCH --job-name=triplet
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
# USR1 two minutes before the end. Without 'B:' it goes to what srun starts, so
# straight to Python, which saves and ends with 138; this shell only waits.
#SBATCH --signal=USR1@120
# After a node fails or the job is preempted SLURM starts it again itself.
#SBATCH --requeue
# One log for all attempts.
#SBATCH --open-mode=append
#SBATCH --output=%x-%j.out

status=0
# srun does not take over the number of cores by itself.
srun "--cpus-per-task=$SLURM_CPUS_PER_TASK" \
  python launch.py "--workdir=results/$SLURM_JOB_NAME" \
  "${@:---experiment=triplet}" || status=$?

# 128 + USR1 or TERM: saved, so the same command goes on. Any other status but 0
# is an error that another attempt would meet again.
if ((status == 138 || status == 143)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
