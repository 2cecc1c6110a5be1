package cluster

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// maxMessage bounds a message of the conversation of joining.
const maxMessage = 16 << 10

// writeMessage writes a message: its length in 4 bytes, big endian, and JSON.
func writeMessage(w io.Writer, message any) error {
	text, err := json.Marshal(message)
	if err != nil {
		return fmt.Errorf("encode message: %w", err)
	}
	if len(text) > maxMessage {
		return fmt.Errorf("encode message: it has %d bytes, %d are allowed", len(text), maxMessage)
	}
	_, err = w.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(text))), text...))
	return err
}

// readMessage reads a message; one that announces more than maxMessage is refused before anything is allocated for it.
func readMessage(r io.Reader, message any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxMessage {
		return fmt.Errorf("read message: it announces %d bytes, %d are allowed", n, maxMessage)
	}
	text := make([]byte, n)
	if _, err := io.ReadFull(r, text); err != nil {
		return fmt.Errorf("read message: %w", err)
	}
	if err := json.Unmarshal(text, message); err != nil {
		return errors.Join(errors.New("read message: it is not what was expected"), err)
	}
	return nil
}
