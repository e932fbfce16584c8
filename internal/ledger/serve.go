// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// newServer has bounds for whatever a client may take its time with.
func newServer(h http.Handler, log *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       time.Minute,
		WriteTimeout:      2 * time.Minute,
		IdleTimeout:       5 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// serving are the servers of an open ledger.
type serving struct {
	servers []*http.Server
	failed  chan error
}

// startServing listens, and serves the managers and people.
func (s *server) startServing(ctx context.Context, l *Log) (*serving, error) {
	v := &serving{failed: make(chan error, 2)}
	config := &tls.Config{MinVersion: tls.VersionTLS13, GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
		return s.tlsConfig() // read anew, since the manager may renew the certificate
	}}
	if _, err := s.tlsConfig(); err != nil {
		return v, err
	}
	private, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return v, fmt.Errorf("listening for managers: %w", err)
	}
	s.log.Info("serving managers", "address", private.Addr().String())
	v.serve(tls.NewListener(private, config), newServer(l.Handler(false), s.log))
	if s.readListen == "" {
		return v, nil
	}
	public, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.readListen)
	if err != nil {
		return v, fmt.Errorf("listening for readers: %w", err)
	}
	s.log.Info("serving readers", "address", public.Addr().String())
	v.serve(public, newServer(l.Handler(true), s.log))
	return v, nil
}

func (s *server) tlsConfig() (*tls.Config, error) {
	cert, err := os.ReadFile(filepath.Join(s.keys, fileCert))
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's certificate: %w", err)
	}
	key, err := os.ReadFile(filepath.Join(s.keys, fileKey))
	if err != nil {
		return nil, fmt.Errorf("reading the ledger's certificate: %w", err)
	}
	return MutualTLS(cert, key)
}

func (v *serving) serve(on net.Listener, server *http.Server) {
	v.servers = append(v.servers, server)
	go func() {
		if err := server.Serve(on); !errors.Is(err, http.ErrServerClosed) {
			v.failed <- fmt.Errorf("serving: %w", err)
		}
	}()
}

// stop takes no more requests, and waits for those that have begun.
func (v *serving) stop(ctx context.Context) {
	for _, server := range v.servers {
		if server.Shutdown(ctx) != nil {
			_ = server.Close() // what it was doing is waited for by the log
		}
	}
}

// health answers the kubelet, from the beginning on: a ledger that waits for its keys or its lock is alive.
type health struct {
	server *http.Server
	log    atomic.Pointer[Log]
}

func (s *server) startHealth(ctx context.Context) (*health, error) {
	h := &health{}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) {
		if l := h.log.Load(); l == nil || l.Failure() != nil {
			http.Error(w, "the ledger is not open", http.StatusServiceUnavailable)
		}
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, r *http.Request) {
		if l := h.log.Load(); l != nil {
			promhttp.HandlerFor(l.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
		}
	})
	on, err := (&net.ListenConfig{}).Listen(ctx, "tcp", s.probes)
	if err != nil {
		return nil, fmt.Errorf("listening for probes: %w", err)
	}
	h.server = newServer(mux, s.log)
	go func() { _ = h.server.Serve(on) }() // until stop
	return h, nil
}

func (h *health) ready(l *Log) { h.log.Store(l) }

func (h *health) stop() { _ = h.server.Close() }
