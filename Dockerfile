# For those who have a container engine. Without one, `make image` packs the same binary into an OCI tarball.
FROM golang:1.26 AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /retention-operator .

FROM scratch
# Datastores whose certificate comes from a public authority are verified against these.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /retention-operator /retention-operator
USER 65532:65532
ENTRYPOINT ["/retention-operator"]
