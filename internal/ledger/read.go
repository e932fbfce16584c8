// SPDX-License-Identifier: Apache-2.0

package ledger

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io/fs"
	"net/http"
	"time"

	"dataretention.dev/retention-operator/internal/evidence"
)

const (
	// Bounds of a Page and of what a State lists.
	maxPage     = 1000
	defaultPage = 100
	maxDangling = 10000
	maxExpired  = 10000
	maxPrunable = 1000
	// maxEnvelopes is how many of a State's list come with their envelopes.
	maxEnvelopes = 100
	// maxPageBytes is after how many bytes of envelopes a Page ends.
	maxPageBytes = 8 << 20
)

// Bundle returns an entry with the proof that it is in the tree of the given size, or the latest if that is 0.
func (l *Log) Bundle(ctx context.Context, i int64, size int64) (*evidence.Bundle, error) {
	h, err := l.readable()
	if err != nil {
		return nil, err
	}
	if size == 0 {
		size = int64(h.size)
	}
	if i < 0 || size < 0 || i >= size || uint64(size) > h.size {
		return nil, refuse(http.StatusNotFound, CodeNotFound, "there is no entry %d in a tree of size %d here; the latest has %d", i, size, h.size)
	}
	entry, err := l.entry(ctx, h, i, true)
	if err != nil {
		return nil, err
	}
	if entry.Envelope == nil {
		return nil, refuse(http.StatusGone, CodePruned, "the statement of entry %d was removed at the end of its retention", i)
	}
	tree := treeOf{l.back, h}
	root, err := tree.rootAt(ctx, uint64(size))
	if err != nil {
		return nil, l.damaged(i, err)
	}
	leaf, err := entry.Leaf.Encode()
	if err != nil {
		return nil, l.damaged(i, err)
	}
	hashes, err := tree.inclusion(ctx, uint64(i), uint64(size), root, leaf)
	if err != nil {
		return nil, l.damaged(i, err)
	}
	checkpoint := h.checkpoint
	if uint64(size) != h.size {
		// The very bytes of then, unless the keys have changed: Ed25519 signs the same text in the same way.
		if checkpoint, err = l.keyring.sign(uint64(size), root); err != nil {
			return nil, l.damaged(i, err)
		}
	}
	b, err := evidence.NewBundle(entry.Envelope, leaf, i, hashes, checkpoint)
	if err != nil {
		return nil, l.damaged(i, err)
	}
	return b, nil
}

// Find returns the entry whose leaf has that key (evidence.KeyHash), or nil if there is none.
func (l *Log) Find(ctx context.Context, keyHash string) (*Entry, error) {
	key, err := parseDigest(keyHash)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, CodeRequest, "key: %v", err)
	}
	l.mu.Lock()
	i, ok := l.index.byKey[key]
	h := l.head
	err = l.usable()
	l.mu.Unlock()
	if err != nil || !ok {
		return nil, err
	}
	return l.entry(ctx, h, i, true)
}

// Page returns entries from an index on, of statements that were made from since on and before until, if those are not zero.
func (l *Log) Page(ctx context.Context, from int64, limit int, since, until time.Time) (*Page, error) {
	if limit <= 0 {
		limit = defaultPage
	}
	limit = min(limit, maxPage)
	h, err := l.readable()
	if err != nil {
		return nil, err
	}
	page := &Page{Entries: []Entry{}}
	want := l.next(max(from, 0), since, until)
	if want < 0 {
		return page, nil
	}
	i, written := want, 0
	for raw, err := range (treeOf{l.back, h}).leaves(ctx, uint64(want)) {
		if err != nil {
			return nil, l.damaged(i, err)
		}
		if i == want {
			if len(page.Entries) == limit || written > maxPageBytes {
				page.Next = &want
				break
			}
			entry, err := l.entryOf(ctx, i, raw, true)
			if err != nil {
				return nil, err
			}
			if entry.Envelope != nil {
				written += len(entry.Envelope.Payload)
			}
			page.Entries = append(page.Entries, *entry)
			if want = l.next(i+1, since, until); want < 0 {
				break
			}
		}
		i++
	}
	return page, nil
}

// next returns the first entry from i on whose statement was made in a time, or -1.
func (l *Log) next(i int64, since, until time.Time) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; i < int64(len(l.index.records)); i++ {
		t := l.index.records[i].time
		if (since.IsZero() || t >= since.UnixNano()) && (until.IsZero() || t < until.UnixNano()) {
			return i
		}
	}
	return -1
}

// readable returns the head, unless nothing is to be said any more.
func (l *Log) readable() (*head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head, l.usable()
}

// entry returns an entry of the tree of h, and its statement if that is asked for and was not removed.
func (l *Log) entry(ctx context.Context, h *head, i int64, statement bool) (*Entry, error) {
	raw, err := treeOf{l.back, h}.leaf(ctx, uint64(i))
	if err != nil {
		return nil, l.damaged(i, err)
	}
	return l.entryOf(ctx, i, raw, statement)
}

func (l *Log) entryOf(ctx context.Context, i int64, raw []byte, statement bool) (*Entry, error) {
	leaf, err := evidence.DecodeLeaf(raw)
	if err != nil {
		return nil, l.damaged(i, err)
	}
	e := &Entry{Index: i, Leaf: *leaf}
	if !statement {
		return e, nil
	}
	d, err := parseDigest(leaf.Statement)
	if err != nil {
		return nil, l.damaged(i, err)
	}
	stored, err := l.back.statement(ctx, d)
	if errors.Is(err, fs.ErrNotExist) && !leaf.RetainUntil.After(l.Clock()) {
		return e, nil
	}
	if err != nil {
		return nil, l.damaged(i, err)
	}
	e.Envelope = &evidence.Envelope{}
	if err := json.Unmarshal(stored, e.Envelope); err != nil {
		return nil, l.damaged(i, err)
	}
	if _, again, err := evidence.LeafOf(e.Envelope); err != nil || !bytes.Equal(again, raw) {
		return nil, l.damaged(i, errors.Join(errors.New("the statement is not the one that the tree has the digest of"), err))
	}
	return e, nil
}

// damaged says that something beside or below the tree is not as it should be, or cannot be read now.
func (l *Log) damaged(i int64, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return unavailable("it took too long")
	}
	l.Log.Error("an entry cannot be shown", "index", i, "error", err.Error())
	l.metrics.damaged.Inc()
	return refuse(http.StatusInternalServerError, CodeDamaged, "entry %d cannot be shown; the ledger's own log says why", i)
}

// State says where the log stands.
func (l *Log) State(ctx context.Context) (*State, error) {
	now := l.Clock()
	l.mu.Lock()
	h, err := l.head, l.usable()
	dangling, _ := l.index.find(maxDangling, isDangling)
	expired, _ := l.index.find(maxExpired, isExpired(now))
	prunable, _ := l.index.find(maxPrunable, isPrunable(now))
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	s := &State{Origin: l.Origin(), Size: int64(h.size), Checkpoint: string(h.checkpoint), Time: now.UTC()}
	for _, list := range []struct {
		indices   []int64
		to        *[]Entry
		envelopes int
	}{{dangling, &s.Dangling, maxEnvelopes}, {expired, &s.Expired, maxEnvelopes}, {prunable, &s.Prunable, 0}} {
		for n, i := range list.indices {
			entry, err := l.entry(ctx, h, i, n < list.envelopes)
			if err != nil && n < list.envelopes && ctx.Err() == nil { // one that cannot be read is not to keep the others from being told
				entry, err = l.entry(ctx, h, i, false)
			}
			if err != nil {
				return nil, err
			}
			*list.to = append(*list.to, *entry)
		}
	}
	return s, nil
}

func isDangling(r *record) bool { return r.is(evidence.Intent) && !r.closed }

// isExpired: backups that may have had it have expired, and nobody has said so. Without its statement nobody can any more.
func isExpired(now time.Time) func(*record) bool {
	return func(r *record) bool {
		return due(r.goneBy, now) && !r.closed && r.present && (r.is(evidence.Result) || r.is(evidence.Conclusion))
	}
}

func isPrunable(now time.Time) func(*record) bool {
	return func(r *record) bool { return due(r.retainUntil, now) && r.present && !r.is(evidence.Pruned) }
}

// Consistency proves that the tree of one size is the beginning of that of another. to is the latest size if it is 0.
func (l *Log) Consistency(ctx context.Context, from, to int64) (*Consistency, error) {
	h, err := l.readable()
	if err != nil {
		return nil, err
	}
	if to == 0 {
		to = int64(h.size)
	}
	if from < 0 || to < from || uint64(to) > h.size {
		return nil, refuse(http.StatusNotFound, CodeNotFound, "there are no trees of the sizes %d and %d here; the latest has %d", from, to, h.size)
	}
	tree := treeOf{l.back, h}
	root, err := tree.rootAt(ctx, uint64(to))
	if err != nil {
		return nil, l.damaged(to, err)
	}
	rootBefore, err := tree.rootAt(ctx, uint64(from))
	if err != nil {
		return nil, l.damaged(from, err)
	}
	hashes, err := tree.consistency(ctx, uint64(from), rootBefore, uint64(to), root)
	if err != nil {
		return nil, l.damaged(from, err)
	}
	c := &Consistency{From: from, To: to, Proof: []string{}}
	for _, hash := range hashes {
		c.Proof = append(c.Proof, base64.StdEncoding.EncodeToString(hash))
	}
	return c, nil
}
