export const rooms: readonly { room: string; at?: string[]; holds: string; imports: string[] }[];
