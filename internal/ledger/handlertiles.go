// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/transparency-dev/tessera/api/layout"
)

// handleTiles serves what C2SP tlog-tiles says that a log serves.
func (l *Log) handleTiles(mux *http.ServeMux) {
	mux.HandleFunc("GET /checkpoint", func(w http.ResponseWriter, _ *http.Request) {
		h, err := l.readable()
		if err != nil {
			l.answer(w, 0, nil, err)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-cache")
		_, _ = w.Write(h.checkpoint) // whoever has gone does not read it
	})
	mux.HandleFunc("GET /tile/{level}/{index...}", func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), requestTimeout)
		defer cancel()
		tile, err := l.tile(ctx, r.PathValue("level"), r.PathValue("index"))
		if err != nil {
			l.answer(w, 0, nil, err)
			return
		}
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
		_, _ = w.Write(tile)
	})
}

// tile returns a tile or, with the level "entries", an entry bundle: exactly as many as the path says, and none that the
// latest checkpoint does not have.
func (l *Log) tile(ctx context.Context, level, index string) ([]byte, error) {
	h, err := l.readable()
	if err != nil {
		return nil, err
	}
	depth := uint64(0)
	if level != "entries" {
		if depth, err = layout.ParseTileLevel(level); err != nil {
			return nil, refuse(http.StatusBadRequest, CodeRequest, "this is no level of tiles")
		}
	}
	n, width, err := layout.ParseTileIndexPartial(index)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, CodeRequest, "this is no index of a tile")
	}
	count := uint64(width)
	if count == 0 {
		count = layout.TileWidth
	}
	if shift := depth * tileHeight; shift > 63 || n > (h.size>>shift)/layout.TileWidth || n*layout.TileWidth+count > h.size>>shift {
		return nil, refuse(http.StatusNotFound, CodeNotFound, "there is no such tile in a tree of size %d", h.size)
	}
	now := layout.PartialTileSize(depth, n, h.size) // as it is now: what it once was is a part of that
	if level == "entries" {
		raw, err := l.back.ReadEntryBundle(ctx, n, now)
		if err == nil {
			raw, err = firstEntries(raw, count)
		}
		return raw, l.tileError(err)
	}
	raw, err := l.back.ReadTile(ctx, depth, n, now)
	if size := count * uint64(len(digest{})); err == nil && uint64(len(raw)) >= size {
		return raw[:size], nil
	}
	return nil, l.tileError(errors.Join(err, errors.New("a tile is missing or cut off")))
}

func (l *Log) tileError(err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return unavailable("it took too long")
	}
	l.Log.Error("a tile cannot be shown", "error", err.Error(), "missing", errors.Is(err, fs.ErrNotExist))
	l.metrics.damaged.Inc()
	return refuse(http.StatusInternalServerError, CodeDamaged, "the tile cannot be shown; the ledger's own log says why")
}

// firstEntries returns the first entries of a bundle, each of which has its length before it.
func firstEntries(raw []byte, count uint64) ([]byte, error) {
	end := 0
	for range count {
		if end+2 > len(raw) {
			return nil, fmt.Errorf("an entry bundle has %d bytes, fewer than %d entries have", len(raw), count)
		}
		end += 2 + int(binary.BigEndian.Uint16(raw[end:]))
	}
	if end > len(raw) {
		return nil, fmt.Errorf("an entry bundle has %d bytes, not %d", len(raw), end)
	}
	return raw[:end], nil
}
