// The local cluster: builds a Kubernetes from Go modules, runs it on this machine and packs images for it.
module dataretention.dev/retention-operator/hack/cluster

go 1.26

require golang.org/x/sys v0.46.0
