# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# platform.sh: the cluster and the operator in it.

# cluster_up sets host, the address by which Pods reach this machine, and makes sure that there is a cluster: the one that
# KUBECONFIG names, or else the local one.
cluster_up() {
	local ours=$root/.cluster/kubeconfig
	if [[ -n ${KUBECONFIG:-} && $(realpath -m "$KUBECONFIG") != $(realpath -m "$ours") ]]; then
		heading "Cluster of KUBECONFIG"
		command -v kubectl >/dev/null || die "kubectl is missing"
		host=${DEMO_HOST:-}
		[[ -n $host ]] || die "$(own_cluster)"
		! command -v ip >/dev/null || ip -o addr | grep -F " $host/" >/dev/null || die "DEMO_HOST=$host is no address of this machine. $(own_cluster)"
		[[ -n ${IMG:-} ]] || kubectl -n retention-system get deployment retention-controller-manager >/dev/null 2>&1 || die "$(own_cluster)"
		return
	fi
	heading "Local cluster"
	"$root/hack/cluster/cluster" up 9>&-
	export KUBECONFIG=$ours
	export PATH=$root/.cluster:$PATH # kubectl of the cluster's version
	host=$(<"$root/.cluster/host-address")
}

own_cluster() {
	cat <<-'EOF'
		With a cluster of your own, say
		  DEMO_HOST  the address by which its Pods reach this machine, where the demo's PostgreSQL listens
		             (kind: docker network inspect kind -f '{{(index .IPAM.Config 0).Gateway}}')
		  IMG        the operator's image, which the cluster must have or be able to pull (not needed if it is deployed)
		             (kind: docker build -t retention-operator:demo . && kind load docker-image retention-operator:demo)
		for example: DEMO_HOST=172.18.0.1 IMG=retention-operator:demo make demo
		Without KUBECONFIG the demo brings its own cluster.
	EOF
}

operator_deploy() {
	if [[ $KUBECONFIG == "$root/.cluster/kubeconfig" || -n ${IMG:-} ]]; then
		quietly "Building and deploying the operator (the first time, a few minutes)" make -C "$root" deploy
	fi
}

# namespace_fresh removes what an earlier demo left in the cluster: a namespace shop that carries the demo's label, and
# no other.
namespace_fresh() {
	local found
	found=$(kubectl get namespace shop --ignore-not-found -o jsonpath='{.metadata.name}/{.metadata.labels.app\.kubernetes\.io/part-of}')
	case $found in
	'' | /) ;;
	shop/retention-demo) quietly "Removing what the last demo left" namespace_remove ;;
	*) die "the cluster has a namespace shop that is not the demo's" ;;
	esac
}

# hold_release releases a LegalHold, which cannot be deleted before.
hold_release='{"spec":{"release":{"reason":"the case is closed"}}}'

# Our objects first, so that runs of a demo that was stopped end in order.
namespace_remove() {
	kubectl -n shop get hold -o name | xargs -r kubectl -n shop patch --type=merge -p "$hold_release"
	kubectl -n shop delete retention --all --wait --timeout=120s
	kubectl delete namespace shop --wait --timeout=120s
}
