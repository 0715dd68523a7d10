# home_of USER HOME: prints USER's home. HOME is what the cluster file says and wins; where that is
# only the usual place, which nobody may have said, the host's own account database knows.
home_of() {
	case $1:$2 in
	"$1:/home/$1" | root:/root) account_home=$(getent passwd -- "$1" | cut -d : -f 6) ;;
	*) account_home='' ;;
	esac
	printf '%s\n' "${account_home:-$2}"
}
