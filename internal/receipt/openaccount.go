// SPDX-License-Identifier: Apache-2.0

package receipt

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
)

const (
	// maxLogLine is more than a line of an account takes.
	maxLogLine = 256 << 10
	// maxLog is more than a process writes that ends at MaxLogBytes.
	maxLog = 4 * MaxLogBytes
)

// OpenAccount reads the account in the log of one container. sum is what its last Receipt says; nil if none can be read.
// open decrypts a line; its error ends the reading, so whoever wants to try again has to keep it. The lines returned are
// those without a gap from the first on. complete says that all lines are there that the Receipt counts, and that none was
// changed; without a Receipt, that there is an end. There may be lines that were written after the Receipt.
func OpenAccount(log io.Reader, sum *AccountSum, open func(sealed string) ([]byte, error)) (lines []Line, complete bool) {
	in := bufio.NewReaderSize(io.LimitReader(log, maxLog), maxLogLine)
	var at AccountSum
	for {
		text := nextLine(in)
		if text == nil {
			break
		}
		sealed, is, ok := accountLine(text, at.Lines+1)
		if !is {
			continue
		}
		if !ok {
			break
		}
		next := at.Next(sealed)
		if sum != nil && next.Lines == sum.Lines && next.Digest != sum.Digest {
			break
		}
		plain, err := open(sealed)
		if err != nil {
			break
		}
		var line Line
		if json.Unmarshal(plain, &line) != nil {
			break
		}
		at, lines = next, append(lines, line)
	}
	if sum == nil {
		return lines, len(lines) > 0 && lines[len(lines)-1].Kind == LineFinished
	}
	return lines, at.Lines >= sum.Lines
}

// nextLine returns the next line, nil at the end. One that is too long to be of an account is empty.
func nextLine(in *bufio.Reader) []byte {
	text, err := in.ReadSlice('\n')
	if !errors.Is(err, bufio.ErrBufferFull) {
		if len(text) == 0 {
			return nil
		}
		return text
	}
	for errors.Is(err, bufio.ErrBufferFull) {
		_, err = in.ReadSlice('\n')
	}
	return []byte{}
}

// accountLine returns the sealed text of a line of an account; is says that it seems to be one, ok that it is the one of this
// number.
func accountLine(text []byte, number int64) (sealed string, is, ok bool) {
	if !bytes.Contains(text, []byte(`"msg":"`+AccountMessage+`"`)) {
		return "", false, false
	}
	var line struct {
		Message string `json:"msg"`
		Number  int64  `json:"seq"`
		Sealed  string `json:"sealed"`
	}
	err := json.Unmarshal(text, &line)
	return line.Sealed, true, err == nil && line.Message == AccountMessage && line.Number == number
}
