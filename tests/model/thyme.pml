/* A model of the job protocol, for one job: two workers, one schedd, the broker's queue and stream.
 *
 * README.md says which function each step stands for and how to run it. Faults are budgets, given
 * as -DNAME=n, so that every run of the model ends; what is not given is 0:
 *
 *   W_CRASH   a worker is killed; its job dies with it and a new worker takes its place
 *   W_CUT     a worker loses its connection to the broker; it lives and reconnects
 *   W_TERM    a worker that waits for the answer to its claim is told to end (SIGTERM)
 *   S_CRASH   the schedd is restarted, or loses its connection; the ledger is kept
 *   S_WIPE    the same, and the ledger is lost
 *   SLOW      a claim is not answered in time although the schedd lives
 *   UNQUEUED  the next attempt's message reaches the stream and not the queue
 *   FORGET    a power cut at the broker: a record that nobody has read is lost (streams are not fsynced)
 *   PURGE     the queue is purged
 *   EARLY     the schedd takes a message that a worker holds for lost, and queues the job again
 *   TRIM      the stream forgets all that is older than the newest clean snapshot
 *   RM        condor_rm        HOLDREL   condor_hold, then condor_release
 *   POLICY    a policy holds the job; then condor_release
 *
 * P chooses the property: 0 all of 1 to 5; 1 no loss; 2 its end is accepted once; 3 no two runs at
 * once; 4 no run after a complete one; 5 no run of a message taken after condor_rm had its answer;
 * 6 (liveness, weak fairness) the job comes to rest: completed, or removed; 7 (not part of 0) no
 * lease ends of a worker that lives and is connected.
 *
 * Switches that take a rule out again, to see that the model notices:
 *   NO_READ     the schedd answers a repeated claim without reading the stream first
 *   NO_MEMORY   the schedd forgets the starts that it has recorded and not read back
 *   NO_OWN      a worker claims an attempt that it has itself ended
 *   NO_ASK      a worker whose connection breaks while it claims does not ask again
 *   NO_WAIT     no answer means yes
 *   NO_DEPTH    what is idle and has no message is not queued again
 *   NO_CLEAN    a snapshot counts although the job has changed since it was made
 */

#ifndef W_CRASH
#define W_CRASH 0
#endif
#ifndef W_CUT
#define W_CUT 0
#endif
#ifndef W_TERM
#define W_TERM 0
#endif
#ifndef S_CRASH
#define S_CRASH 0
#endif
#ifndef S_WIPE
#define S_WIPE 0
#endif
#ifndef SLOW
#define SLOW 0
#endif
#ifndef UNQUEUED
#define UNQUEUED 0
#endif
#ifndef FORGET
#define FORGET 0
#endif
#ifndef PURGE
#define PURGE 0
#endif
#ifndef EARLY
#define EARLY 0
#endif
#ifndef TRIM
#define TRIM 0
#endif
#ifndef RM
#define RM 0
#endif
#ifndef HOLDREL
#define HOLDREL 0
#endif
#ifndef POLICY
#define POLICY 0
#endif
#ifndef P
#define P 0
#endif

#define NW   2    /* workers alive at a time */
#define NM   5    /* messages of the job that the broker may have at a time */
#define SLEN 14   /* unread records */
#define HLEN 24   /* all records (S_WIPE) */

/* kinds of record */
#define SUBMIT   1
#define STARTED  2
#define FINISHED 3
#define EVICTED  4
#define LOST     5
#define REMOVED  6
#define HELDEV   7
#define RELEASED 8
#define SNAPSHOT 9

/* JobStatus, as far as it matters */
#define UNKNOWN  0   /* the ledger has no such job */
#define IDLE     1
#define RUNNING  2
#define REMOVING 3   /* removed; its worker has not ended */
#define DONE     4   /* transferring output, or completed */
#define HELD     5
#define GONE     6   /* removed; it has left the queue */
#define INQUEUE  (L_status != GONE && L_status != UNKNOWN)

/* control messages */
#define SUPERSEDED 1
#define ENDIT      2    /* remove, hold, vacate: the worker reports evicted */

/* answers to a claim */
#define NO   0
#define YES  1
#define WAIT 2

/* where a worker is */
#define W_IDLE     0
#define W_TAKEN    1
#define W_ASKED    2
#define W_GRANTED  3
#define W_REFUSED  4
#define W_RUN      5
#define W_STOPPING 6
#define W_REPORT   7

#define NOBODY 255      /* asked where no schedd had an inbox; no message */

/* --- the broker ---------------------------------------------------------------------- */
byte m_state[NM];       /* 0: no message; 1: in the queue; 2+w: delivered to worker w, not acknowledged */
byte m_attempt[NM];
bool m_again[NM];       /* redelivered */
chan S = [SLEN] of { byte, byte, byte };        /* the stream: kind, attempt, worker; not read yet */
#if S_WIPE
byte h_kind[HLEN]; byte h_attempt[HLEN]; byte h_worker[HLEN]; byte h_len;
#endif
bool overflow;          /* the model's own bounds were met: nothing is claimed of such a run */

/* --- the schedd: the ledger (survives), and memory (does not) -------------------------- */
byte L_status; byte L_attempt; bool L_queued; byte L_worker; byte L_ended;   /* L_ended: + 1 */
bool s_open;            /* it has an inbox */
bool s_live;            /* it has read the stream up to its own marker */
byte s_epoch;           /* of the inbox: what was asked in an earlier one is lost */
bool s_own;             /* a record of its own was not read back */
byte requeued;          /* an attempt that was queued and not read back */
chan inbox = [3] of { byte, byte, byte, byte, bool };   /* place, worker, attempt, token, again */
/* the newest snapshot */
byte n_status; byte n_attempt; bool n_queued; byte n_worker; byte n_ended;
bool n_clean;           /* it was read back, and the job was still as the snapshot says */

/* --- workers ------------------------------------------------------------------------- */
byte w_name[NW]; byte w_at[NW]; byte w_attempt[NW]; byte w_token[NW]; byte w_msg[NW];
bool w_conn[NW]; bool w_again[NW]; bool w_after[NW];
bool w_asked[NW];       /* it has asked for this attempt and heard no answer: its start may be recorded */
byte w_report[NW];      /* FINISHED or EVICTED */
byte w_epoch[NW];       /* the inbox that it asked in; NOBODY: there was none */
byte w_ended[NW];       /* 1 + the attempt whose end it has recorded */
byte w_open[NW];        /* its questions that may still be answered: without one, tokens begin again */
chan answer[NW] = [4] of { byte, byte };                /* token, answer */
chan control[NW] = [2] of { byte, byte };               /* attempt, action */
byte next_name = 1;

/* --- budgets, and what the properties are about ---------------------------------------- */
byte b_wcrash = W_CRASH; byte b_wcut = W_CUT; byte b_wterm = W_TERM; byte b_scrash = S_CRASH;
byte b_swipe = S_WIPE; byte b_slow = SLOW; byte b_unqueued = UNQUEUED; byte b_forget = FORGET;
byte b_purge = PURGE; byte b_early = EARLY; byte b_trim = TRIM; byte b_snap = 2 * TRIM;
byte b_rm = RM; byte b_hold = HOLDREL; byte b_policy = POLICY;
byte nrun;              /* runs at this moment */
byte completions;       /* accepted ends */
bool expired;           /* a lease of a worker that lives has passed */
bool ran;               /* a run ended by itself and is in the stream */
bool answered;          /* condor_rm has its answer */

#define FREE(i) (m_state[i] == 1)
#define ANYFREE (FREE(0) || FREE(1) || FREE(2) || FREE(3) || FREE(4))
#define ANYMSG  (m_state[0] || m_state[1] || m_state[2] || m_state[3] || m_state[4])
#define AT_REST (L_status == DONE || L_status == GONE)

/* the worker that the ledger believes in sends heartbeats; or it lives and is cut off */
#define BEATS(i) (w_name[i] == L_worker && w_at[i] >= W_RUN && w_attempt[i] == L_attempt && w_conn[i])
#define CUT(i) (w_name[i] == L_worker && w_at[i] >= W_RUN && w_attempt[i] == L_attempt && !w_conn[i])
/* a lease is longer than the steps from taking a message to the start, where the schedd lives */
#define SETTLED(i) (!w_conn[i] || w_at[i] == W_IDLE || w_at[i] >= W_RUN)
/* no message of the job is in its hands */
#define EMPTYHANDED(i) (w_at[i] == W_IDLE || (!w_conn[i] && w_at[i] < W_RUN))
#define WELL(i) (w_name[i] == L_worker && w_conn[i])

inline append(k, a, w) {
    if
    :: full(S) -> overflow = true; false
    :: nfull(S) -> S!k,a,w
    fi;
#if S_WIPE
    if
    :: h_len >= HLEN -> overflow = true; false
    :: else -> h_kind[h_len] = k; h_attempt[h_len] = a; h_worker[h_len] = w; h_len++
    fi
#endif
}

inline enqueue(a) {
    if
    :: m_state[0] == 0 -> m_state[0] = 1; m_attempt[0] = a; m_again[0] = false
    :: m_state[0] != 0 && m_state[1] == 0 -> m_state[1] = 1; m_attempt[1] = a; m_again[1] = false
    :: m_state[0] != 0 && m_state[1] != 0 && m_state[2] == 0 -> m_state[2] = 1; m_attempt[2] = a; m_again[2] = false
    :: m_state[0] != 0 && m_state[1] != 0 && m_state[2] != 0 && m_state[3] == 0 -> m_state[3] = 1; m_attempt[3] = a; m_again[3] = false
    :: m_state[0] != 0 && m_state[1] != 0 && m_state[2] != 0 && m_state[3] != 0 && m_state[4] == 0 -> m_state[4] = 1; m_attempt[4] = a; m_again[4] = false
    :: else -> overflow = true; false
    fi
}

inline send_control(name, attempt, action) {     /* it may find nobody */
    i = 0;
    do
    :: i < NW ->
        if
        :: w_name[i] == name && w_conn[i] && len(control[i]) < 2 -> control[i]!attempt,action
        :: else
        fi;
        i++
    :: i == NW -> break
    od
}

inline leave_queue() {
    L_status = GONE; L_queued = false; L_worker = 0
}

inline apply(k, a, w) {         /* vobox/jobs/transitions.py: apply */
    action = 0;
    if
    :: k == SUBMIT && L_status == UNKNOWN && a == 0 ->          /* _create */
        L_status = IDLE; L_attempt = 0; L_queued = true; L_worker = 0; L_ended = 0
    :: k == SUBMIT && INQUEUE && a > L_attempt ->               /* _on_submit */
        L_attempt = a; L_queued = (L_status == IDLE)
    :: k == SNAPSHOT && L_status == UNKNOWN ->                  /* the stream begins with it */
        L_status = n_status; L_attempt = n_attempt; L_queued = n_queued; L_worker = n_worker;
        L_ended = n_ended; n_clean = true;
        if :: L_status == DONE -> completions = 1 :: else fi
    :: k == SNAPSHOT && L_status != UNKNOWN ->                  /* read back */
        n_clean = (L_status == n_status && L_attempt == n_attempt && L_queued == n_queued && L_worker == n_worker && L_ended == n_ended)
    :: k == STARTED && L_status != UNKNOWN && !(L_worker == w && L_attempt == a) ->   /* _on_started */
        if
        :: L_status == GONE -> action = ENDIT
        :: L_status == DONE || L_status == REMOVING || (L_worker != 0 && L_worker != w) -> action = SUPERSEDED
        :: L_status != GONE && L_status != DONE && L_status != REMOVING && (L_worker == 0 || L_worker == w) ->
            if
            :: a < L_attempt || a < L_ended -> action = SUPERSEDED
            :: a >= L_attempt && a >= L_ended && L_status == HELD -> action = ENDIT
            :: a >= L_attempt && a >= L_ended && L_status == IDLE && !L_queued && a == L_attempt -> action = SUPERSEDED
            :: else -> skip
            fi
        fi;
        if
        :: action == 0 -> L_status = RUNNING; L_worker = w; L_attempt = a
        :: action == ENDIT && INQUEUE -> L_worker = w; L_attempt = a; send_control(w, a, action)
        :: else -> send_control(w, a, action)
        fi
    :: (k == FINISHED || k == EVICTED) && INQUEUE && L_worker == w && w != 0 && (L_status == REMOVING || a >= L_ended) ->
        if
        :: L_status == REMOVING -> leave_queue()                /* _end_removed_run */
        :: k == FINISHED && L_status == DONE -> skip
        :: k == FINISHED && L_status != DONE && L_status != REMOVING ->        /* _on_finished */
            L_worker = 0; L_ended = a + 1;
            if :: a > L_attempt -> L_attempt = a :: else fi;
            L_status = DONE; completions++
        :: k == EVICTED && L_status != REMOVING ->              /* _on_evicted */
            L_worker = 0; L_ended = a + 1;
            if :: a > L_attempt -> L_attempt = a :: else fi;
            if :: L_status == RUNNING -> L_status = IDLE; L_queued = false :: else fi
        fi
    :: k == FINISHED && INQUEUE && L_worker == 0 && a >= L_ended && L_status != REMOVING && L_status != DONE && L_status != UNKNOWN ->
        /* the worker was given up, and nobody runs the job: its result counts */
        L_ended = a + 1;
        if :: a > L_attempt -> L_attempt = a :: else fi;
        L_status = DONE; completions++
    :: k == LOST && INQUEUE && a == L_attempt ->                /* _on_lost */
        if
        :: L_worker == 0 && L_status == IDLE && L_queued -> L_queued = false    /* it has no message */
        :: L_worker != 0 ->
            send_control(L_worker, a, SUPERSEDED);
            L_worker = 0;
            if
            :: L_status == REMOVING -> leave_queue()
            :: L_status == RUNNING -> L_status = IDLE; L_queued = false
            :: else
            fi
        :: else
        fi
    :: k == REMOVED && INQUEUE && L_status != REMOVING && L_status != DONE ->  /* _on_removed */
        if
        :: L_worker != 0 -> L_status = REMOVING; send_control(L_worker, L_attempt, ENDIT)
        :: else -> leave_queue()
        fi
    :: k == HELDEV && (L_status == IDLE || L_status == RUNNING) ->      /* _on_held */
        L_status = HELD;
        if :: L_worker != 0 -> send_control(L_worker, L_attempt, ENDIT) :: else fi
    :: k == RELEASED && L_status == HELD -> L_status = IDLE; L_queued = false  /* _on_released */
    :: else
    fi;
    if :: k == SUBMIT && a == requeued -> requeued = 0 :: else fi;
    if :: empty(S) -> s_own = false :: else fi
}

inline read_one() { S?rk,ra,rw; apply(rk, ra, rw) }

inline read_all() {
    do
    :: nempty(S) -> read_one()
    :: empty(S) -> break
    od
}

inline record(kind, at_, by) { append(kind, at_, by); s_own = true }    /* by the schedd */

inline reset() { rk = 0; ra = 0; rw = 0; i = 0; action = 0 }

inline go_down() {              /* the inbox ends with the connection, memory with the process */
    s_open = false; s_live = false; s_epoch++;
    do :: nempty(inbox) -> inbox?_,_,_,_,_ :: empty(inbox) -> break od;
    w_open[0] = len(answer[0]); w_open[1] = len(answer[1]);
    s_own = false; requeued = 0
}

proctype schedd() {
    byte rk, ra, rw, i, action, place, name, at, token; byte reply; bool again;
    do
    :: atomic { !s_open -> s_open = true }              /* Session.start: the inbox is opened */
    :: atomic { s_open && !s_live ->                    /* ... and the stream read to its own marker */
        read_all(); s_live = true; reset() }
    :: atomic { s_live && nempty(S) ->                  /* StreamReader.catch_up */
        read_one(); reset() }
    :: atomic { s_open && nempty(inbox) && (P != 6 || s_live) ->        /* WorkerMail: answer a claim */
        inbox?place,name,at,token,again;
        reply = NO;
        if
        :: !s_live -> reply = WAIT                      /* it is not current */
        :: s_live ->
#ifndef NO_READ
            if
            :: again || at > L_attempt -> read_all()
            :: else
            fi;
#endif
#ifndef NO_MEMORY
            if
            :: s_own -> read_all()
            :: else
            fi;
#endif
            if
            :: L_status == RUNNING && L_worker == name && L_attempt == at -> reply = YES
            :: L_status == IDLE && L_worker == 0 && at >= L_ended && ((L_queued && at == L_attempt) || at > L_attempt) ->
                record(STARTED, at, name); reply = YES
            :: else
            fi
        fi;
        if
        :: reply == YES && b_scrash > 0 ->              /* killed between the record and the answer */
            b_scrash--; go_down()
        :: true ->
            if
            :: w_name[place] == name && w_conn[place] && len(answer[place]) < 4 -> answer[place]!token,reply
            :: w_name[place] == name && (!w_conn[place] || len(answer[place]) == 4) -> w_open[place]--
            :: else
            fi
        fi;
        place = 0; name = 0; at = 0; token = 0; again = false; reply = 0; reset() }
    :: atomic { s_live && L_status == IDLE && !L_queued && L_worker == 0 && requeued == 0 ->
        record(SUBMIT, L_attempt + 1, 0);               /* Reconciler: queue the next attempt */
        if
        :: b_unqueued > 0 -> b_unqueued--; go_down()
        :: true -> enqueue(L_attempt + 1); requeued = L_attempt + 1
        fi }
    :: atomic { s_live && L_worker != 0 && INQUEUE && empty(S) && empty(inbox) && !BEATS(0) && !BEATS(1) && SETTLED(0) && SETTLED(1) ->
        assert(P != 7 || !(WELL(0) || WELL(1)));
        if :: CUT(0) || CUT(1) -> expired = true :: else fi;            /* Reconciler.end_leases */
        record(LOST, L_attempt, 0) }
#ifndef NO_DEPTH
    :: atomic { s_live && L_status == IDLE && L_queued && L_worker == 0 && requeued == 0 && !ANYMSG && empty(S) && EMPTYHANDED(0) && EMPTYHANDED(1) ->
        record(LOST, L_attempt, 0) }                    /* idle, and not in the queue */
    :: atomic { b_early > 0 && s_live && L_status == IDLE && L_queued && L_worker == 0 && requeued == 0 && !ANYFREE && empty(S) ->
        b_early--; record(LOST, L_attempt, 0) }         /* a worker holds it for longer than that */
#endif
    :: atomic { s_live && b_rm > 0 && INQUEUE ->        /* a command: recorded, and read back */
        b_rm--; record(REMOVED, 0, 0); read_all(); answered = true; reset() }
    :: atomic { s_live && b_hold > 0 && (L_status == IDLE || L_status == RUNNING) ->
        b_hold--; record(HELDEV, 0, 0); read_all(); reset() }
    :: atomic { s_live && b_policy > 0 && (L_status == IDLE || L_status == RUNNING) ->
        b_policy--; record(HELDEV, 0, 0) }              /* a policy: recorded, and read later */
    :: atomic { s_live && L_status == HELD ->           /* condor_release, always in the end */
        record(RELEASED, 0, 0); read_all(); reset() }
#if TRIM
    :: atomic { s_live && b_snap > 0 && INQUEUE && (b_trim > 0) ->      /* recorded anew */
        b_snap--; n_status = L_status; n_attempt = L_attempt; n_queued = L_queued; n_worker = L_worker; n_ended = L_ended;
        n_clean = false; record(SNAPSHOT, 0, 0) }
#endif
    :: atomic { s_open && b_scrash > 0 -> b_scrash--; go_down() }
#if S_WIPE
    :: atomic { s_open && b_swipe > 0 -> b_swipe--; go_down();
        L_status = UNKNOWN; L_attempt = 0; L_queued = false; L_worker = 0; L_ended = 0; completions = 0;
        do :: nempty(S) -> S?_,_,_ :: empty(S) -> break od;
        i = 0;
        do
        :: i < h_len -> if :: full(S) -> overflow = true; false :: nfull(S) -> S!h_kind[i],h_attempt[i],h_worker[i] fi; i++
        :: else -> break
        od;
        i = 0 }
#endif
    od
}

inline give_back() {            /* the message is in the queue again, as a redelivered one */
    if
    :: w_msg[w] != NOBODY && m_state[w_msg[w]] == 2 + w -> m_state[w_msg[w]] = 1; m_again[w_msg[w]] = true
    :: else
    fi;
    w_msg[w] = NOBODY; w_again[w] = false
}

inline disconnect() {           /* what the broker does when a connection ends */
    give_back();
    do :: nempty(answer[w]) -> answer[w]?_,_; w_open[w]-- :: empty(answer[w]) -> break od;
    do :: nempty(control[w]) -> control[w]?_,_ :: empty(control[w]) -> break od
}

inline cut() {
    w_conn[w] = false; disconnect();
    if
#ifndef NO_ASK
    :: w_at[w] == W_TAKEN || w_at[w] == W_ASKED || w_at[w] == W_GRANTED ->   /* asks again, without a message */
        w_at[w] = W_TAKEN; w_again[w] = true; w_asked[w] = true; w_token[w] = (w_open[w] == 0 -> 0 : w_token[w] + 1)
    :: w_at[w] == W_REFUSED -> w_at[w] = W_IDLE; w_asked[w] = false
#else
    :: w_at[w] < W_RUN -> w_at[w] = W_IDLE; w_asked[w] = false
#endif
    :: else
    fi
}

inline not_begun() {            /* what may be recorded as started is ended */
    if :: w_asked[w] -> append(EVICTED, w_attempt[w], w_name[w]); w_asked[w] = false :: else fi
}

inline ack() {
    if
    :: w_msg[w] != NOBODY && m_state[w_msg[w]] == 2 + w -> m_state[w_msg[w]] = 0; m_attempt[w_msg[w]] = 0; m_again[w_msg[w]] = false
    :: else
    fi;
    w_msg[w] = NOBODY
}

inline new_worker() {           /* a new pilot in this place */
    disconnect();
    w_name[w] = next_name; next_name++;
    w_at[w] = W_IDLE; w_attempt[w] = 0; w_token[w] = 0; w_conn[w] = true; w_after[w] = false; w_asked[w] = false;
    w_report[w] = 0; w_epoch[w] = 0; w_ended[w] = 0; w_open[w] = 0
}

inline begin() {                /* the job's program is started */
    assert(!(P == 0 || P == 3) || nrun == 0 || expired);
    assert(!(P == 0 || P == 4) || !ran || expired);
    assert(!(P == 0 || P == 5) || !w_after[w]);
    nrun++
}

proctype worker(byte w) {
    byte token, i; byte reply;
    atomic { new_worker() }
    do
    :: atomic { w_at[w] == W_IDLE && w_conn[w] && ANYFREE ->            /* Transport.take */
        if
        :: FREE(0) -> w_msg[w] = 0
        :: FREE(1) -> w_msg[w] = 1
        :: FREE(2) -> w_msg[w] = 2
        :: FREE(3) -> w_msg[w] = 3
        :: FREE(4) -> w_msg[w] = 4
        fi;
        m_state[w_msg[w]] = 2 + w; w_attempt[w] = m_attempt[w_msg[w]];
        w_token[w] = (w_open[w] == 0 -> 0 : w_token[w] + 1);
        w_again[w] = m_again[w_msg[w]]; w_after[w] = answered; w_at[w] = W_TAKEN }
#ifndef NO_OWN
    :: atomic { w_at[w] == W_TAKEN && w_conn[w] && w_ended[w] == w_attempt[w] + 1 -> w_at[w] = W_REFUSED }
    :: atomic { w_at[w] == W_TAKEN && w_conn[w] && w_ended[w] != w_attempt[w] + 1 && len(inbox) < 3 ->
#else
    :: atomic { w_at[w] == W_TAKEN && w_conn[w] && len(inbox) < 3 ->
#endif
        if                                                              /* ClaimClient */
        :: s_open -> inbox!w,w_name[w],w_attempt[w],w_token[w],w_again[w]; w_epoch[w] = s_epoch; w_open[w]++
        :: !s_open -> w_epoch[w] = NOBODY
        fi;
        w_again[w] = true; w_at[w] = W_ASKED }
    :: atomic { w_at[w] == W_ASKED && w_conn[w] && nempty(answer[w]) ->
        answer[w]?token,reply; w_open[w]--;
        if
        :: token == w_token[w] && reply == YES -> w_at[w] = W_GRANTED
        :: token == w_token[w] && reply == NO -> not_begun(); w_at[w] = W_REFUSED
        :: token == w_token[w] && reply == WAIT -> w_at[w] = W_TAKEN            /* asks again */
        :: token == w_token[w] && reply == WAIT -> not_begun(); give_back(); w_at[w] = W_IDLE
        :: else
        fi;
        token = 0; reply = 0 }
    :: atomic { w_at[w] == W_ASKED && w_conn[w] && empty(answer[w]) && (w_epoch[w] != s_epoch || b_slow > 0) ->
        if :: w_epoch[w] == s_epoch -> b_slow-- :: else fi;             /* no answer in time */
        w_asked[w] = (w_asked[w] || w_epoch[w] != NOBODY);
#ifdef NO_WAIT
        append(STARTED, w_attempt[w], w_name[w]); w_at[w] = W_GRANTED
#else
        if
        :: w_at[w] = W_TAKEN                                            /* asks again */
        :: true -> not_begun(); give_back(); w_at[w] = W_IDLE           /* or leaves it to another */
        fi
#endif
        }
    :: atomic { w_at[w] == W_REFUSED && w_conn[w] -> ack(); w_at[w] = W_IDLE }
    :: atomic { (w_at[w] == W_GRANTED || w_at[w] == W_ASKED) && w_conn[w] && b_wterm > 0 ->
        b_wterm--; append(EVICTED, w_attempt[w], w_name[w]); new_worker() }
    :: atomic { w_at[w] == W_GRANTED && w_conn[w] -> w_at[w] = W_RUN; w_asked[w] = false; begin() }
    :: atomic { w_at[w] == W_RUN && w_conn[w] && w_msg[w] != NOBODY -> ack() }  /* it may run before that */
    :: atomic { w_at[w] == W_RUN && w_conn[w] && nempty(control[w]) ->  /* RunMonitor */
        control[w]?token,i;
        if
        :: token == w_attempt[w] -> w_at[w] = W_STOPPING; w_report[w] = (i == SUPERSEDED -> 0 : EVICTED)
        :: else
        fi;
        token = 0; i = 0 }
    :: atomic { w_at[w] == W_RUN && w_conn[w] && s_live && empty(S) &&  /* answer_heartbeat */
        L_status != UNKNOWN && (L_attempt > w_attempt[w] || !INQUEUE || (L_worker != 0 && L_worker != w_name[w]) || L_status == DONE) ->
        w_at[w] = W_STOPPING; w_report[w] = 0 }
    :: atomic { w_at[w] == W_RUN && w_conn[w] && s_live && empty(S) && L_attempt == w_attempt[w] && (L_worker == 0 || L_worker == w_name[w]) && (L_status == REMOVING || L_status == HELD || (L_status == IDLE && !L_queued)) ->
        w_at[w] = W_STOPPING; w_report[w] = EVICTED }
    :: atomic { w_at[w] == W_STOPPING -> nrun--;                        /* SIGTERM, grace, SIGKILL */
        if
        :: w_report[w] == 0 -> ack(); w_at[w] = W_IDLE
        :: else -> w_at[w] = W_REPORT
        fi }
    :: atomic { w_at[w] == W_RUN -> nrun--; w_report[w] = FINISHED; w_at[w] = W_REPORT }
    :: atomic { w_at[w] == W_REPORT && w_conn[w] ->                     /* Worker: the end is recorded */
        ack(); append(w_report[w], w_attempt[w], w_name[w]); w_ended[w] = w_attempt[w] + 1;
        if :: w_report[w] == FINISHED -> ran = true :: else fi;
        if
        :: b_wcut > 0 -> b_wcut--; cut()                                /* recorded, not confirmed */
        :: true -> w_at[w] = W_IDLE; w_report[w] = 0
        fi }
    :: atomic { !w_conn[w] -> w_conn[w] = true;                         /* BrokerConnection */
        if :: w_at[w] == W_TAKEN -> w_after[w] = answered :: else fi }
    :: atomic { w_conn[w] && b_wcut > 0 && w_at[w] != W_IDLE -> b_wcut--; cut() }
    :: atomic { b_wcrash > 0 && w_at[w] != W_IDLE ->
        b_wcrash--;
        if :: w_at[w] == W_RUN || w_at[w] == W_STOPPING -> nrun-- :: else fi;
        new_worker() }
    od
}

#if FORGET || PURGE || TRIM
proctype broker() {             /* what a broker does beyond keeping what it was given */
    byte i, to, w;
    do
#if FORGET
    :: atomic { b_forget > 0 && nempty(S) -> b_forget--; S?_,_,_;       /* and every connection ends */
        go_down(); w = 0;
        do
        :: w < NW -> cut(); w++
        :: else -> break
        od;
        w = 0 }
#endif
#if PURGE
    :: atomic { b_purge > 0 && ANYFREE -> b_purge--;
        i = 0;
        do
        :: i < NM && FREE(i) -> m_state[i] = 0; m_attempt[i] = 0; m_again[i] = false; i++
        :: i < NM && !FREE(i) -> i++
        :: i == NM -> break
        od;
        i = 0 }
#endif
#if TRIM && S_WIPE
    :: atomic { b_trim > 0 && (
#ifdef NO_CLEAN
        n_status != UNKNOWN
#else
        n_clean
#endif
        ) && empty(S) -> b_trim--;
        /* what is older than the newest snapshot is no longer there */
        i = h_len;
        do
        :: i > 0 && h_kind[i-1] != SNAPSHOT -> i--
        :: else -> break
        od;
        if
        :: i > 1 ->
            i--; to = 0;
            do
            :: i < h_len -> h_kind[to] = h_kind[i]; h_attempt[to] = h_attempt[i]; h_worker[to] = h_worker[i]; i++; to++
            :: else -> break
            od;
            h_len = to
        :: else
        fi;
        i = 0; to = 0 }
#endif
    od
}
#endif

active proctype monitor() {
    atomic {
        w_msg[0] = NOBODY; w_msg[1] = NOBODY;
        enqueue(0);                              /* condor_submit: one confirmed publish, read back */
#if S_WIPE
        h_kind[0] = SUBMIT; h_len = 1;
#endif
        L_status = IDLE; L_queued = true;
        s_open = true; s_live = true;
#if FORGET || PURGE || TRIM
        run broker();
#endif
        run schedd(); run worker(0); run worker(1)
    }
    do
    :: atomic { !(P == 0 || P == 2) || completions <= 1 -> skip; break }
    od;
    end:
    timeout ->
        assert(!(P == 0 || P == 1) || overflow || AT_REST);
        assert(!(P == 0 || P == 2) || overflow || completions <= 1)
}

#if P == 6
ltl rest { <> (overflow || AT_REST) }
#endif
