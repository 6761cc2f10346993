#!/bin/bash
# One run on a Cloud TPU slice of any size, asked for again after preemption.
#
#   export NAME=mnist ZONE=us-east5-b IMAGE=us-docker.pkg.dev/PROJECT/dlcore/dlcore:tpu
#   export SHARE=10.0.0.2:/share   # of a Filestore (NFS) that the slice can reach
#   jobs/cloud_tpu.sh --experiment=classification --dataset=mnist
#
# Waits until the run has ended, wherever gcloud is logged in; given again it
# goes on waiting. On the share are the run's folder, $NAME, and a log of each
# worker.
set -euo pipefail
: "${NAME:?}" "${ZONE:?}" "${IMAGE:?}" "${SHARE:?}"
type=${TYPE:-v6e-8} runtime=${RUNTIME:-v2-alpha-tpuv6e}
tpus() { gcloud compute tpus "$@" "--zone=$ZONE" --quiet; }

# Every worker runs this when it starts. The slice's disks go with it, so the
# folder of the run lies on the share: a real file system, that can rename,
# append and lock as a bucket cannot.
startup=$(mktemp)
trap 'rm -f "$startup"' EXIT
cat >"$startup" <<END
#!/bin/bash
set -e
apt-get install -y nfs-common
mkdir -p /results
mount '$SHARE' /results
gcloud auth configure-docker --quiet '${IMAGE%%/*}'
# TERM when the machine is taken away reaches Python, which saves.
docker rm --force dlcore || true # of before this machine was restarted
docker run --name=dlcore --privileged --net=host --stop-timeout=120 \\
  --volume=/results:/results '$IMAGE' \\
  $(printf '%q ' --distributed "--workdir=/results/$NAME" "${@:---experiment=triplet}")\
  >>'/results/$NAME.'"\$HOSTNAME.log" 2>&1
END

while true; do
  state=$(tpus queued-resources list "--filter=name~/$NAME\$" \
    '--format=value(state.state)') || state=unknown
  case $state in
    '') # not asked for yet
      # Spot is what costs least; --guaranteed or --reserved in its place.
      tpus queued-resources create "$NAME" "--node-id=$NAME" --spot \
        "--accelerator-type=$type" "--runtime-version=$runtime" \
        "--metadata-from-file=startup-script=$startup"
      ;;
    SUSPENDED) # preempted: the same command goes on in a new slice
      tpus queued-resources delete "$NAME" --force
      ;;
    FAILED)
      tpus queued-resources describe "$NAME" >&2
      exit 1
      ;;
    ACTIVE) # has the run ended there? All workers end together.
      status=$(tpus tpu-vm ssh "$NAME" --worker=0 --command='sudo docker \
        inspect --format="{{.State.Status}} {{.State.ExitCode}}" dlcore' \
        2>/dev/null) || status=unknown
      case $status in
        'exited 143' | unknown) ;; # being taken away, or not there yet
        exited*)
          tpus queued-resources delete "$NAME" --force
          exit "${status#exited }"
          ;;
      esac
      ;;
  esac
  sleep 60
done
