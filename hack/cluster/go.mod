// The local cluster: builds a Kubernetes from Go modules, runs it on this machine and packs images for it.
module dataretention.dev/retention-operator/hack/cluster

go 1.26

require (
	github.com/google/go-containerregistry v0.22.1
	golang.org/x/sys v0.47.0
)

require (
	github.com/klauspost/compress v1.19.2 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/opencontainers/image-spec v1.1.1 // indirect
)
