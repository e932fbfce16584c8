// SPDX-License-Identifier: Apache-2.0

package attest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"time"

	corev1 "k8s.io/api/core/v1"

	"dataretention.dev/retention-operator/internal/ledger"
)

const (
	// certificateName is what the certificate calls its holder; nobody asks.
	certificateName = "retention-ledger"
	certificateLife = 10 * 365 * 24 * time.Hour
	// renewBefore is how long before its end the certificate is replaced. Neither side looks at dates, but people do. Until the
	// kubelet has brought the new one to the ledger, which takes up to two minutes, the two refuse each other, and purges wait.
	renewBefore = 365 * 24 * time.Hour
	clockSkew   = time.Hour

	dialTimeout    = 5 * time.Second
	requestTimeout = 30 * time.Second
	connections    = 16
)

// parseChannel returns how manager and ledger know each other: by one certificate, which both have, and no other.
func parseChannel(secret *corev1.Secret) (*tls.Config, error) {
	config, err := ledger.MutualTLS(secret.Data[corev1.TLSCertKey], secret.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		return nil, unreadable(secret, corev1.TLSCertKey, "no certificate with its key in "+corev1.TLSPrivateKeyKey)
	}
	return config, nil
}

// fillLedger adds to the ledger's Secret what it lacks: the log's key and the certificate, which is also replaced before its
// end.
func fillLedger(secret *corev1.Secret, cluster string, now time.Time) (changed bool, err error) {
	if len(secret.Data[logKey]) == 0 {
		if err := addNoteKey(secret, logKey, originPrefix+cluster); err != nil {
			return false, err
		}
		changed = true
	}
	if len(secret.Data[corev1.TLSCertKey]) > 0 {
		c, err := parseChannel(secret)
		if err != nil || now.Before(c.Certificates[0].Leaf.NotAfter.Add(-renewBefore)) {
			return changed, err
		}
	}
	return true, addCertificate(secret, now)
}

// addCertificate puts a new certificate in the place of the one that is there.
func addCertificate(secret *corev1.Secret, now time.Time) error {
	certificate, key, err := newCertificate(now)
	if err != nil {
		return fmt.Errorf("making the ledger's certificate: %w", err)
	}
	set(secret, corev1.TLSCertKey, certificate)
	set(secret, corev1.TLSPrivateKeyKey, key)
	return nil
}

func newCertificate(now time.Time) (certificate, key []byte, err error) {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: certificateName}, DNSNames: []string{certificateName},
		NotBefore: now.Add(-clockSkew), NotAfter: now.Add(certificateLife),
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		return nil, nil, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		return nil, nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), nil
}

// HTTPClient returns what talks to the ledger: by mutual TLS, with the certificate as it is at each new connection.
func (k *Keyring) HTTPClient() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		keys, err := k.cached(ctx)
		if err != nil {
			return nil, err
		}
		dialer := tls.Dialer{NetDialer: &net.Dialer{Timeout: dialTimeout}, Config: keys.channel}
		return dialer.DialContext(ctx, network, address)
	}
	return &http.Client{
		Timeout:   requestTimeout,
		Transport: &http.Transport{DialTLSContext: dial, MaxIdleConnsPerHost: connections, IdleConnTimeout: time.Minute},
	}
}
