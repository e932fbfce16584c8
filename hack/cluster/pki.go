// SPDX-License-Identifier: Apache-2.0

package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"time"
)

// authority signs the cluster's certificates. A cluster gets a new one each time it starts from nothing.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// pair is a certificate and its key, as PEM.
type pair struct{ cert, key []byte }

const validFor = 365 * 24 * time.Hour

func newAuthority() (authority, pair, error) {
	template := &x509.Certificate{
		Subject:               pkix.Name{CommonName: "retention-operator local cluster"},
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
		BasicConstraintsValid: true,
		IsCA:                  true,
	}
	cert, key, p, err := issue(template, nil, nil)
	return authority{cert: cert, key: key, pem: p.cert}, p, err
}

// client issues a certificate that authenticates as the user, in the groups.
func (a authority) client(user string, groups ...string) (pair, error) {
	_, _, p, err := issue(&x509.Certificate{
		Subject:     pkix.Name{CommonName: user, Organization: groups},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, a.cert, a.key)
	return p, err
}

// server issues a certificate for the names and addresses.
func (a authority) server(name string, names []string, addrs ...netip.Addr) (pair, error) {
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: name},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames:    names,
	}
	for _, addr := range addrs {
		template.IPAddresses = append(template.IPAddresses, net.IP(addr.AsSlice()))
	}
	_, _, p, err := issue(template, a.cert, a.key)
	return p, err
}

// issue fills in what all certificates share and signs; without a parent the certificate signs itself.
func issue(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey, pair, error) {
	fail := func(err error) (*x509.Certificate, *ecdsa.PrivateKey, pair, error) {
		return nil, nil, pair{}, fmt.Errorf("certificate %s: %w", template.Subject.CommonName, err)
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fail(err)
	}
	template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		return fail(err)
	}
	now := time.Now()
	template.NotBefore, template.NotAfter = now.Add(-time.Hour), now.Add(validFor)
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), parentKey)
	if err != nil {
		return fail(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return fail(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fail(err)
	}
	return cert, key, pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}, nil
}

// kubeconfig is a client's whole configuration in one file.
func (a authority) kubeconfig(server string, p pair) []byte {
	b64 := base64.StdEncoding.EncodeToString
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
clusters:
- name: local
  cluster:
    server: %s
    certificate-authority-data: %s
users:
- name: local
  user:
    client-certificate-data: %s
    client-key-data: %s
contexts:
- name: local
  context:
    cluster: local
    user: local
current-context: local
`, server, b64(a.pem), b64(p.cert), b64(p.key))
}

// writePKI makes all keys and certificates of a cluster, below the folder.
func writePKI(dir string, n network, server string) error {
	ca, caPair, err := newAuthority()
	if err != nil {
		return err
	}
	// The key that signs service account tokens; its certificate is of no use to anybody.
	_, _, accounts, err := issue(&x509.Certificate{Subject: pkix.Name{CommonName: "service-accounts"}}, nil, nil)
	if err != nil {
		return err
	}
	api, err := ca.server("kube-apiserver", []string{"localhost", "kubernetes", "kubernetes.default",
		"kubernetes.default.svc", "kubernetes.default.svc.cluster.local"},
		n.Node, n.apiService(), netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		return err
	}
	kubelet, err := ca.server(nodeName, []string{nodeName}, n.Node)
	if err != nil {
		return err
	}
	toKubelet, err := ca.client("kube-apiserver", "system:masters")
	if err != nil {
		return err
	}
	admin, err := ca.client("admin", "system:masters")
	if err != nil {
		return err
	}
	files := map[string][]byte{
		"kubeconfig":             ca.kubeconfig(server, admin),
		"pki/admin.crt":          admin.cert,
		"pki/admin.key":          admin.key,
		"pki/ca.crt":             caPair.cert,
		"pki/ca.key":             caPair.key,
		"pki/accounts.key":       accounts.key,
		"pki/apiserver.crt":      api.cert,
		"pki/apiserver.key":      api.key,
		"pki/kubelet.crt":        kubelet.cert,
		"pki/kubelet.key":        kubelet.key,
		"pki/kubelet-client.crt": toKubelet.cert,
		"pki/kubelet-client.key": toKubelet.key,
	}
	for _, user := range []struct {
		file, name string
		groups     []string
	}{
		{"pki/controller-manager.conf", "system:kube-controller-manager", nil},
		{"pki/scheduler.conf", "system:kube-scheduler", nil},
		{"pki/kubelet.conf", "system:node:" + nodeName, []string{"system:nodes"}},
		{"pki/proxy.conf", "system:kube-proxy", nil},
		{"pki/coredns.conf", "system:coredns", nil},
	} {
		p, err := ca.client(user.name, user.groups...)
		if err != nil {
			return err
		}
		files[user.file] = ca.kubeconfig(server, p)
	}
	if err := os.MkdirAll(filepath.Join(dir, "pki"), 0o700); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
