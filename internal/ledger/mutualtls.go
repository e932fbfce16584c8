// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
)

// MutualTLS returns the TLS configuration of both sides: the ledger and its clients share one certificate and key (PEM), and
// each accepts exactly that certificate of the other. Names, dates and authorities have no say.
func MutualTLS(certPEM, keyPEM []byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's certificate: %w", err)
	}
	pinned := pair.Certificate[0]
	return &tls.Config{
		MinVersion:             tls.VersionTLS13,
		Certificates:           []tls.Certificate{pair},
		ClientAuth:             tls.RequireAnyClientCert,
		InsecureSkipVerify:     true, // VerifyConnection is stricter
		SessionTicketsDisabled: true,
		VerifyConnection: func(state tls.ConnectionState) error {
			if len(state.PeerCertificates) == 0 || !bytes.Equal(state.PeerCertificates[0].Raw, pinned) {
				return errors.New("the other side has another certificate than the ledger's")
			}
			return nil
		},
	}, nil
}
