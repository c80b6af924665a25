# Prepare this shell for trt_ssd_ros:   source scripts/setup.bash
# Then `ros2 launch trt_ssd_ros detect.launch.py`, `ros2 topic echo` and so on work in it.
if [ -z "${BASH_VERSION:-}" ]; then
    echo 'scripts/setup.bash: this shell is not bash: start bash, then source the script there' >&2
    return 1
fi
if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    echo 'scripts/setup.bash: source it instead:  source scripts/setup.bash' >&2
    exit 1
fi
_trt_ssd_scripts=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
if "$_trt_ssd_scripts/bootstrap"; then
    case $- in *u*) _trt_ssd_u=1 ;; *) _trt_ssd_u= ;; esac
    set +u  # ROS's own setup files read unset variables
    # shellcheck source=/dev/null
    source "$_trt_ssd_scripts/../.ros/env.bash"
    [ -z "$_trt_ssd_u" ] || set -u
    unset _trt_ssd_scripts _trt_ssd_u
else
    unset _trt_ssd_scripts
    echo 'scripts/setup.bash: the environment is not ready (see above)' >&2
    return 1
fi
