#!/bin/bash
# Many seeds on SLURM, SEEDS (8) to each task of an array.
#
#   SEEDS=4 sbatch --job-name=digits --array=0-7 jobs/slurm_array.sh --experiment=classification
#   python launch.py --mode=collect results/digits
#
# Task 3 of these trains seeds 12 to 15 in results/digits/3. Submit as slurm.sh.
#SBATCH --job-name=triplet-seeds
#SBATCH --array=0-3
#SBATCH --gpus=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=%x-%A_%a.out

seeds=${SEEDS:-8}
status=0
# With --sweep=map every seed is bitwise what it is in a run of its own, however
# many there are to a task.
srun "--cpus-per-task=$SLURM_CPUS_PER_TASK" python launch.py --sweep=map \
  "--seed=$((SLURM_ARRAY_TASK_ID * seeds))" "--seeds=$seeds" \
  "--workdir=results/$SLURM_JOB_NAME/$SLURM_ARRAY_TASK_ID" \
  "${@:---experiment=triplet}" || status=$?

# SLURM_JOB_ID of the last task is that of the whole array: name the task.
if ((status == 138 || status == 143)); then
  scontrol requeue "${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID"
fi
exit "$status"
